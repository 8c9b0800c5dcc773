"""Text: `wordpiece` turns it into the token ids of BERT."""
