"""`python -m vaezoo` is the command `vaezoo`."""

from vaezoo.cli import main

raise SystemExit(main())
