def made_masks(D, degrees):
    ends = torch.arange(D)
    layers = [ends, *degrees]
    hidden = [(m[:, None] >= before).float() for before, m in zip(layers[:-1], layers[1:])]
    return [*hidden, (ends[:, None] > layers[-1]).float()]
