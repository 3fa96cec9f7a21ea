def tempered(table, tau):
    start = (table.sum(1).log() / tau).softmax(0)
    then = (table.log() / tau).softmax(1)  # p(x_1) is a constant of each row
    return start[:, None] * then
