//! Tests of the prices, placeholder line.
