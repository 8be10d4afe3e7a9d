"""`python -m pallium` is the command `pallium`."""

from pallium._program import main

main()
