def tempered(table, tau):
    start = table.sum(1)
    then = (table / start[:, None]) ** (1 / tau)
    return start[:, None] * then / then.sum(1, keepdim=True)
