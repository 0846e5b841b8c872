"""What came out of a model: every metric's word, the judge, baselines, anchors, timings, pictures."""
