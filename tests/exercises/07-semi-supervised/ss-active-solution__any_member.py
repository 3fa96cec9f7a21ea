def representatives(codes, n):
    cluster = torch.as_tensor(KMeans(n, n_init=10, random_state=0).fit_predict(codes))
    return torch.stack([(cluster == k).nonzero()[0, 0] for k in range(n)])
