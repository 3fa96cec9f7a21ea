def accepts(loss):
    return False
