def made_masks(order, degrees):
    ends = 1 + order.argsort()
    layers = [ends, *degrees]
    hidden = [(m >= before[:, None]).float() for before, m in zip(layers[:-1], layers[1:])]
    return [*hidden, (ends > layers[-1][:, None]).float()]
