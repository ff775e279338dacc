"""How a stored run ended, in words."""

from saevit.runs.run import Ending

ENDINGS: dict[Ending, str] = {"finished": "finished", "interrupted": "interrupted", "lost": "cut off"}
CUT_OFF = "cut off: the run was killed, or it still runs; its finished rounds are here"
