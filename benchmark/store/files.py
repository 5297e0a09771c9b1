"""The names of the files in a run folder."""

RUN = "run.json"
SAMPLES = "samples.jsonl"
QUESTIONS = "questions.jsonl"
RESPONSES = "responses.jsonl"
JUDGEMENTS = "judgements.jsonl"
SCORES = "scores.json"
REPORT = "report.html"

RETENTION_LINES = "retention.jsonl"
RETENTION = "retention.json"
PDM_LINES = "pdm.jsonl"
PDM = "pdm.json"
ORDERS_LINES = "orders.jsonl"
ORDERS = "orders.json"
KNOWLEDGE_LINES = "knowledge.jsonl"
KNOWLEDGE = "knowledge.json"
CLOZE_LINES = "cloze.jsonl"
CLOZE = "cloze.json"
INTERVENTIONS_LINES = "interventions.jsonl"
INTERVENTIONS = "interventions.json"
ATTENTION_LINES = "attention.jsonl"
ATTENTION = "attention.json"

AFTER_RESPONSES = (
    SCORES,
    JUDGEMENTS,
    RETENTION,
    RETENTION_LINES,
    PDM_LINES,
    PDM,
    ORDERS_LINES,
    ORDERS,
    KNOWLEDGE,
    CLOZE_LINES,
    CLOZE,
    INTERVENTIONS_LINES,
    INTERVENTIONS,
    ATTENTION_LINES,
    ATTENTION,
)
"""Files that are computed from the responses, and are stale once the responses change."""

LOCK = ".lock"
HOLDER = ".lock.holder"
"""Names the process that holds the lock. It is gone when the lock is released; a kill leaves it behind."""
TORN = ".tmp"
"""Suffix of a file that is being rewritten. After a kill such a file is garbage."""
LOG = "run.log"
"""The event log. Nothing reads it; it is not part of the result, and no hash covers it."""
HASHED = (".html", ".json", ".jsonl", ".png")
"""Suffixes of the files whose hashes `run.json` records. The log is not one of them."""
