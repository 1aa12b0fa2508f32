//! Starts that the system refuses.
