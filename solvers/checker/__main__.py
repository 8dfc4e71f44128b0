"""Run the checker from its folder, wherever that is: ``python -I -S checker FILE``."""

import sys

if __package__:
    from .command import main
else:
    sys.path.pop(0)  # the folder itself: its modules are a package's, and must shadow nothing
    import importlib
    import os

    _folder = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120 - few imports
    sys.path.append(os.path.dirname(_folder))  # noqa: PTH120
    main = importlib.import_module(os.path.basename(_folder) + ".command").main  # noqa: PTH119

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
