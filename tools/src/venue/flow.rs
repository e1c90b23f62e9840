//! Synthetic public flow, seeded and calibrated on recorded market data.
