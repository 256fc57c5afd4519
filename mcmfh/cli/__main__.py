"""python -m mcmfh.cli"""

from mcmfh.cli import main

if __name__ == "__main__":
    main()
