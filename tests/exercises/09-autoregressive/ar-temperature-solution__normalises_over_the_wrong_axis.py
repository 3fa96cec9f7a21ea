def tempered(table, tau):
    start = table.sum(1)
    then = table / start[:, None]
    start, then = start ** (1 / tau), then ** (1 / tau)
    return start[:, None] / start.sum() * then / then.sum(0)
