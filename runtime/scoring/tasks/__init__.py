"""The kinds of tasks: each one module, its data model, how outputs become answers, and its metrics."""
