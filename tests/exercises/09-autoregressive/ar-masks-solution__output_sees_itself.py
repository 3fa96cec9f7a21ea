def made_masks(order, degrees):
    ends = 1 + order.argsort()
    layers = [ends, *degrees]
    hidden = [(m[:, None] >= before).float() for before, m in zip(layers[:-1], layers[1:])]
    last = (ends[:, None] >= layers[-1]).float()
    last[order[0]] = 0
    return [*hidden, last]
