"""The task `answer`: models answer the questions of a published benchmark. The task registry imports it."""
