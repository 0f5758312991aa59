//! Text in, exact token counts out.
