def representatives(codes, n):
    model = KMeans(n, n_init=10, random_state=0).fit(codes)
    cluster = torch.as_tensor(model.labels_)
    own = torch.as_tensor(model.transform(codes)).gather(1, cluster.long()[:, None])[:, 0]
    return torch.stack([torch.where(cluster == k, own, -1.0).argmax() for k in range(n)])
