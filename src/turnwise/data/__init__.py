"""Reading, writing and inspecting dialogues; small generators of data whose truth is known."""
