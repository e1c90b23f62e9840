//! The one table of all metrics: name, type, unit, labels, buckets, help.
