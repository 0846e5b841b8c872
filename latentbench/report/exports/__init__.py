"""What leaves a run beside its page: tables, summaries, comparisons in Markdown."""
