"""Queues in seconds, a fair order between models, deadlines, and work that can be cancelled."""
