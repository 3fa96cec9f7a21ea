def made_masks(D, degrees):
    ends = torch.arange(1, D + 1)
    layers = [ends, *degrees]
    hidden = [(m >= before[:, None]).float() for before, m in zip(layers[:-1], layers[1:])]
    return [*hidden, (ends > layers[-1][:, None]).float()]
