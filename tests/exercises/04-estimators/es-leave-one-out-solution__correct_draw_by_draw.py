def factors(a):
    rows = []
    for k in range(len(a)):
        rest = torch.cat([a[:k], a[k + 1 :]])
        stand_in = torch.cat([rest, rest.mean(0, keepdim=True)])
        rows.append(estimators.logmeanexp(a) - estimators.logmeanexp(stand_in))
    return torch.stack(rows)
