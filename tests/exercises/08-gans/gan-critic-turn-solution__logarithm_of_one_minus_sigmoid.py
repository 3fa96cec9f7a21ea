def critic_turn(generator, critic, optimizer, real, z):
    fake = generator(z).detach()
    value = (critic(real).sigmoid().log() + (1 - critic(fake).sigmoid()).log()).mean()
    optimizer.zero_grad()
    (-value).backward()
    optimizer.step()
