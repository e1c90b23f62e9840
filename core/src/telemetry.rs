//! Counters, gauges, histograms, records and the trace ring: what the core tells the sidecar.
