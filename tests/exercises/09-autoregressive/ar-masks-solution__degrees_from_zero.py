def made_masks(order, degrees):
    ends = order.argsort()
    layers = [ends, *degrees]
    hidden = [(m[:, None] >= before).float() for before, m in zip(layers[:-1], layers[1:])]
    return [*hidden, (ends[:, None] > layers[-1]).float()]
