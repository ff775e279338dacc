"""Networks as files: ONNX, torch.export and OpenVINO, each verified before it gets its name.

It takes the networks that `models` builds; `measure` times the same graphs, `report` shows what was written.
"""
