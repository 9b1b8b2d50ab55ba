"""rnntext: recurrent language models, classifiers and taggers for the shell.

Knows: its version. Imports nothing, so that whatever needs only a part of the package pays
for that part alone.
"""

__version__ = "0.1.0"
