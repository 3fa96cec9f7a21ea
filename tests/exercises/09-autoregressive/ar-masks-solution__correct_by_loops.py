def made_masks(order, degrees):
    place = [0] * len(order)
    for t, j in enumerate(order.tolist()):
        place[j] = t + 1
    layers = [place, *[m.tolist() for m in degrees]]
    masks = [
        torch.tensor([[float(to >= start) for start in before] for to in after])
        for before, after in zip(layers, layers[1:])
    ]
    return [*masks, torch.tensor([[float(to > start) for start in layers[-1]] for to in place])]
