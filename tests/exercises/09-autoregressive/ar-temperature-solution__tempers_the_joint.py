def tempered(table, tau):
    table = table ** (1 / tau)
    return table / table.sum()
