//! The rules of Tollgate money: pure, without clock, float, I/O or logging.
