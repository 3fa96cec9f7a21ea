def representatives(codes, n):
    model = KMeans(n, n_init=10, random_state=0).fit(codes.numpy())
    chosen = []
    for centre in torch.as_tensor(model.cluster_centers_):
        chosen.append(int((codes - centre).norm(dim=1).argmin()))
    return torch.tensor(chosen)
