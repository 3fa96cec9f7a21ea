def reach(masks):
    D = len(masks[0])
    sees = [{j} for j in range(D)]
    for mask in masks:
        kept = set().union(*(sees[j] for j in range(D) if mask[j]))
        sees = [sees[j] if mask[j] else sees[j] | kept for j in range(D)]
    return torch.tensor([[j in seen for j in range(D)] for seen in sees])
