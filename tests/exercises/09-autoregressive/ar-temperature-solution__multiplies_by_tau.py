def tempered(table, tau):
    start = table.sum(1)
    then = table / start[:, None]
    start, then = start**tau, then**tau
    return start[:, None] / start.sum() * then / then.sum(1, keepdim=True)
