def tempered(table, tau):
    end = table.sum(0) ** (1 / tau)
    before = (table / table.sum(0)) ** (1 / tau)
    return end / end.sum() * before / before.sum(0)
