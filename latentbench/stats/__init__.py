"""From records to statistics: cells over seeds, intervals, aggregates over data sets."""
