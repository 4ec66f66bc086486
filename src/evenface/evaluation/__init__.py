"""How good a model is, and what the number rests on.

- `metrics`: pure functions of scores; needs numpy and scipy alone, so nothing is imported here.
- `images`, `embed`, `torch_embedder`, `onnx_embedder`, `models`: from pictures to embeddings.
- `store`: embeddings in a folder, scored again or brought along.
- `protocols`: the benchmarks, by name in `BENCHMARKS`; `benchmark` says what each one is to the rest.
- `evaluate`: one model on one benchmark; `results`: what every protocol returns; `by_person`: its intervals.
- `search`, `templates`, `people`, `feature_files`: the arithmetic that protocols share.
- `sets`, `command`, `report`, `plots`, `drawing`: the command line and its page.
"""
