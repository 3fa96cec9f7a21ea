def made_masks(order, degrees):
    ends = 1 + order.argsort()
    layers = [ends, *degrees, ends]
    return [(m[:, None] > before).float() for before, m in zip(layers[:-1], layers[1:])]
