def score_matching(score, x):
    s = score(x)
    jacobian = torch.autograd.functional.jacobian(score, x, create_graph=True)
    return 0.5 * s.square().sum(1) + jacobian.diagonal(dim1=1, dim2=3).sum()
