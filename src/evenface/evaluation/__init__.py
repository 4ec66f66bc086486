"""How good a model is, and what the number rests on.

- `metrics`: pure functions of scores; needs numpy and scipy alone, so nothing is imported here.
- `embed`, `torch_embedder`, `onnx_embedder`: from pictures to embeddings.
- `protocols`: the benchmarks' pairs, by name in `PROTOCOLS`.
- `verify`: `evaluate_pairs`, one model on one set of pairs.
- `people`: all pairs, and rank-1, of a folder of people.
"""
