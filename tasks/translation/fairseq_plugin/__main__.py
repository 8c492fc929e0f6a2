"""`python -m tasks.translation.fairseq_plugin` prints the folder for fairseq's `--user-dir`."""

from tasks.translation.fairseq_plugin import USER_DIR

if __name__ == "__main__":
    print(USER_DIR)
