"""`/v1/threads`: what the app keeps of its conversations, as trees of stored responses."""
