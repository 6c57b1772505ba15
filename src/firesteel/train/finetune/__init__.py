"""Fine-tuning on a user's own conversations.

What is learnt from (`examples`, `sets`), by whom (`kindling`, `lora`), how (`fit`), and all of it in one call (`run`).
"""
