//! The capture format: every handled `(now, Event)`, versioned; import and export of the text format.
