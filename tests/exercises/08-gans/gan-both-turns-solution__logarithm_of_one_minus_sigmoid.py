def both_turns(generator, critic, adam_g, adam_c, real, z):
    value = (critic(real).sigmoid().log() + (1 - critic(generator(z)).sigmoid()).log()).mean()
    adam_g.zero_grad()
    adam_c.zero_grad()
    value.backward()
    for w in critic.parameters():
        w.grad.neg_()
    adam_c.step()
    adam_g.step()
