def accepts(loss):
    return True
