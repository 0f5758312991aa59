//! Tollgate: an AI model gateway whose token accounting is exactly right.
