"""What lies outside the world, in French."""

from __future__ import annotations

from heliograph.model.primer.grammar.outside import words

WORDS = {
    "thing": words("""
        un lion|un tigre|une girafe|un zèbre|un singe|un loup|un ours|un panda|un kangourou
        un chameau|une chèvre|un âne|une souris|un écureuil|un hérisson|un cerf|un canard|une oie
        un cygne|un hibou|un aigle|un perroquet|un serpent|un crocodile|un lézard|un dinosaure
        un dragon|une licorne|un escargot|une fourmi|une araignée|une baleine|un dauphin|un requin
        une pieuvre|un crabe|une orange|un citron|une poire|une pêche|une cerise|un melon|un ananas
        une pomme de terre|un oignon|un concombre|un œuf|du fromage|une glace|un sandwich|une soupe
        du chocolat|une tasse de café|un verre d'eau|un avion|un hélicoptère|une moto|un camion
        un tramway|un taxi|un sous-marin|un château|une église|une mosquée|un pont|une tour|un stade
        une table|une chaise|un lit|un canapé|un miroir|une porte|une fenêtre|un ordinateur|un robot
        une télévision|une radio|un violon|une trompette|une flûte|une harpe|un marteau|un couteau
        une fourchette|une cuillère|un stylo|un crayon|un journal|une carte|un drapeau|une bague
        une chemise|un chapeau|une chaussure|un manteau|des lunettes|un homme|une femme|un enfant
        un bébé|un roi|une reine|un médecin|un professeur|un pirate|un chevalier|un fantôme
        un astronaute|un monstre|une main|un œil|un nez|une montagne|un volcan|un désert
        une île|une rivière|un lac|une forêt|une plage|un arc-en-ciel|un bonhomme de neige
        la tour Eiffel|la Joconde|un cactus|un palmier|une tulipe|un carré rouge|un rond bleu
        un triangle vert|une bougie|un cadeau|un sapin de Noël|une poupée|un cerf-volant|une ancre
        un léopard|un gorille|un rat|une chauve-souris|un pigeon|un corbeau|une autruche|un paon
        un moustique|une coccinelle|un ver de terre|un scorpion|une méduse|un homard|un phoque
        un hippopotame|un rhinocéros|un chaton|un chiot|un hamster|un castor|une loutre|un poulain
        un kiwi|une mangue|une noix de coco|un abricot|une prune|une framboise|un poivron|de l'ail
        une aubergine|une citrouille|une salade|un chou|des haricots|du riz|des pâtes|un hamburger
        un biscuit|une crêpe|un croissant|du miel|du sucre|un thé|une bière|une bouteille de lait
        un bateau à vapeur|un canoë|une trottinette|un char|un camion de pompiers|une tente|un phare
        une ferme|un musée|une bibliothèque|une ville|une rue|un jardin|une cuisine|une chambre
        une lampe de chevet|un tapis|une étagère|un clavier|un appareil photo|un micro|une armoire
        un accordéon|un saxophone|un xylophone|une scie|une hache|une aiguille|une corde|une échelle
        une pièce de monnaie|une couronne|un pantalon|une robe|des gants|une écharpe|une chaussette
        une fille|un garçon|un policier|un magicien|un clown|un squelette|un zombie
        un ange|un vampire|un pied|un cerveau|une dent|une cascade|une grotte|une tornade|un flocon
        une planète|une comète|une feuille|de l'herbe|une orchidée|un carré jaune|un cercle noir
        une étoile violette|un rectangle gris|une balle de tennis|un dé|un puzzle|un ours en peluche
        un sapin|une médaille|un trophée|une roue|un sac|une valise|un savon|une brosse|un peigne
        un guépard|une hyène|un buffle|un taureau|un veau|un agneau|un poney|un élan|un renne
        une antilope|une gazelle|un blaireau|un raton laveur|un furet|une taupe|un chimpanzé
        un morse|une otarie|un calmar|une anguille|un saumon|un thon|une crevette|une huître
        une étoile de mer|un hippocampe|un poisson-chat|un crapaud|un gecko|un caméléon|un cobra
        une dinde|un coq|une cigogne|un héron|un pélican|une mouette|un moineau|une hirondelle
        une pie|un vautour|un faucon|un toucan|une guêpe|une mouche|un scarabée|une chenille
        une libellule|une sauterelle|un cafard|une puce|une limace|une figue|une datte
        un pamplemousse|une grenade|une myrtille|une olive|une noix|une noisette|une amande
        un poireau|un radis|un navet|une betterave|du céleri|des épinards|un artichaut|une courgette
        une asperge|des lentilles|une tarte|une gaufre|une saucisse|un steak|du jambon|une omelette
        une quiche|un jus de pomme|une soupe de tomates|une pomme de pin|un pommier
        une peau de banane|un couteau à pain|du beurre|de la confiture|du sel|du poivre|un chêne
        un saule|un bouleau|une cabane dans un arbre|une niche|une cage à oiseaux|une ruche
        un aquarium|un fer à cheval|un cartable|un arrêt de bus|une gare|un pneu de voiture
        un château de cartes|un livre de recettes|un feu rouge|un feu d'artifice|un porte-clés
        un imperméable|une rose des vents|une boule de neige|une clé à molette|une clé USB
        une camionnette|une limousine|un bulldozer|une grue|une brouette|une luge|un téléphérique
        un ferry|un yacht|un radeau|un planeur|un drone|un parachute|un satellite
        une station spatiale|une montgolfière|une pyramide|un palais|une hutte|un igloo|une grange
        un moulin|un puits|une clôture|une cathédrale|un hôtel|un restaurant|un supermarché
        une boulangerie|une banque|un théâtre|un zoo|une piscine|un aéroport|un frigo|un four
        un grille-pain|une poêle|une assiette|un bol|une théière|une bouteille|une poubelle
        un oreiller|une couverture|une serviette|un rideau|un placard|un tiroir|une baignoire
        une douche|des toilettes|un robinet|une brosse à dents|un rasoir|du parfum|un collier
        un bracelet|une ceinture|une botte|une sandale|une veste|une jupe|un pyjama
        un maillot de bain|un casque|un masque|un cahier|une règle|une gomme|un pinceau|de la colle
        une agrafeuse|une calculatrice|un calendrier|un timbre|un aimant|une pile|un clou|une vis
        une perceuse|une pelle|un râteau|un seau|un balai|un trombone|une clarinette|un hautbois
        un tuba|un banjo|un violoncelle|un harmonica|un gong|une infirmière|un fermier|un soldat
        un marin|un cuisinier|un juge|un voleur|un prince|une princesse|un géant|un nain
        une sorcière|une fée|un lutin|un cow-boy|un doigt|une oreille|une bouche|une jambe|un os
        une colline|une vallée|une falaise|un glacier|un iceberg|un marais|la Terre|Mars|du lierre
        de la mousse|une fougère|un lis|un coquelicot|un buisson|une graine|un gland|une racine
        un ovale gris|un losange blanc|un hexagone orange|une spirale rose|un triangle jaune
        une flèche|un ballon de rugby|une raquette|une planche de surf|des skis|un arc|une épée
        un bouclier|un canon|un dromadaire|un sanglier|un bison|une belette|une bouée
        un bateau pirate|une péniche
        """),
    "topic": words("""
        la météo|la politique|l'histoire|la philosophie|la Révolution française|la physique
        les trous noirs|la gravité|l'évolution|le corps humain|la médecine|les impôts|la religion
        l'économie|l'amour|le sens de la vie|le bonheur|le jazz|Mozart|Victor Hugo|Picasso|Einstein
        Napoléon|Paris|Londres|Le Caire|Tokyo|l'Égypte|le Brésil|la Chine|l'Afrique|les échecs
        la cuisine|le jardinage|la mode|le football|Python|internet|les bases de données|la chimie
        les nouvelles|les jeux vidéo|le cinéma|la poésie|la grammaire|le climat|le pétrole
        la bourse|la seconde guerre mondiale|la photosynthèse|les vitamines|le droit|la psychologie
        la mort|les rêves|la théorie de la musique|Shakespeare|Cléopâtre|Marie Curie|New York
        l'Antarctique|les Jeux olympiques|le yoga|le tourisme|le bitcoin|les réseaux de neurones
        les romans|les mathématiques|la géométrie|les atomes|l'énergie|l'électricité|les moteurs
        les voyages dans l'espace|les dinosaures|les volcans|la démocratie|la Grèce antique
        """),
    "sound": words("""
        un violon|une trompette|une flûte|un lion|un loup|un bébé qui pleure|une femme qui chante
        une porte|des pas|un hélicoptère|un avion|un marteau|du verre brisé|un rire|une toux
        un chuchotement|un cri|un orchestre|une explosion|un feu d'artifice|un aspirateur
        une cascade|un hibou|un canard|un serpent|un âne|une harpe|une radio|une foule|un discours
        une chanson|l'hymne national|ma voix|une imprimante|une fontaine|du pop-corn
        une tronçonneuse|un clavier|un ronflement|un éternuement|une chorale|un coup de feu
        une machine à laver|une bouilloire|une rivière|une baleine|un singe|une souris|un saxophone
        un match de football|un orgue d'église|un poème|une machine à écrire|un appareil photo
        une fermeture éclair|un jouet
        une perceuse|une tondeuse|une moto|un char|un paquebot|une dinde|un coq|une mouette|une oie
        un banjo|un violoncelle|un hautbois|un tuba|un gong|un harmonica|un bâillement|un hoquet
        un baiser|un tigre|une scie|une épée|un frigo|un sèche-cheveux|un tremblement de terre
        une avalanche|la grêle|un volcan|des bulles|un manège|une fermeture de porte
        une machine à coudre|une machine à café|un grille-pain|un bébé qui rit
        """),
    "motion": words("""
        danse|nage|s'envole|explose|fond|rit|dort|marche|court|mange une pomme|chante|cuisine
        lit un livre|joue au football|parle|change de couleur|disparaît|s'ouvre|brûle|pleure
        conduit une voiture|écrit une lettre|grimpe à un arbre|se bat|va à l'école|boit du lait
        tombe amoureux|se transforme en lion|se casse|fait signe|se cache derrière un arbre
        s'habille|se coupe en deux|zigzague|joue aux échecs|saute à la corde|téléphone|prie|fume
        saute un mur|épouse une reine|fait du pain|monte à cheval|fait les courses|sourit
        attrape une balle|prend feu|déménage|tisse une toile|se transforme en grenouille
        serre la main|tousse|aboie|peint un mur|appelle un ami|prend une douche
        plonge dans une piscine|pond un œuf|gagne une course|se plie|tremble|éternue|vole un gâteau
        construit une maison|part en vacances
        """),
    "colour": words("""
        rouge|violet|orange|marron|gris|doré|argenté|turquoise|beige|rayé|en bois|mauve|brun
        transparent|à carreaux|à pois|bordeaux|kaki|enneigé|indigo|bleu marine|lavande|bronze
        métallique|en marbre|écossais|fluo|rouillé|cuivré|vermillon
        """),
    "number": words("""
        quatre|cinq|six|sept|huit|neuf|dix|vingt|cinquante|cent|4|5|6|10|onze|douze|quinze|trente
        quarante|mille|une dizaine de|une centaine de|7|8|9|11|12|15|20|30|50|100|treize|quatorze
        seize|dix-sept|dix-huit|dix-neuf|vingt et un|vingt-cinq|soixante|soixante-dix|quatre-vingts
        deux cents|un million de|14|16|17|18|19|21|22|23|24|25|26|29|31|32|35|36|40|45|60|70|80|90
        99|120|200|300|500|1000
        """),
}
SIGNS = {
    "+": ("plus",),
    "-": ("moins",),
    "*": ("fois", "multiplié par"),
    "/": ("divisé par", "sur"),
}

SHAPES = (
    "{parle-moi de|que sais-tu de|explique-moi|que penses-tu de|résume} $topic",
    "{écris|fais} {un poème|un texte|une histoire|un article} sur $topic",
    "{pourquoi étudier|qui a inventé|à quoi sert} $topic ?",
    "{apprends-moi|j'ai une question sur|parlons de} $topic",
    "{qu'est-ce que c'est, |où acheter |combien coûte |que mange |comment fabriquer }$thing ?",
    "{décris|raconte une histoire avec|écris un poème sur} $thing",
    "{à quoi ressemble|aimes-tu|as-tu déjà vu|peut-on manger} $thing ?",
    "quelle est {la capitale|la population|la monnaie} de {la France|la Chine|la Turquie} ?",
    "qui {a écrit Les Misérables|a peint la Joconde|est le président|a gagné le match} ?",
    "{quel âge as-tu|où habites-tu|es-tu humain|as-tu des rêves} ?",
    "{quelle heure est-il|quel jour sommes-nous|quel temps fait-il|va-t-il pleuvoir demain} ?",
    "pourquoi {le ciel est-il bleu|dort-on|la mer est-elle salée|es-tu si lent} ?",
    "{raconte-moi une blague|chante une chanson|donne-moi un conseil|dis un secret}",
    "{raconte-moi|raconte-nous|lis-moi} {une histoire|un conte|une devinette|une histoire drôle}",
    "{réserve un vol|commande une pizza|appelle ma mère|envoie un courriel|allume la lumière}",
    "{écris|corrige|explique} {du code|un programme|une fonction python|une requête sql}",
    "{traduis|dis} {je t'aime|bonne nuit|je m'appelle Jean} en {allemand|espagnol|chinois}",
    "{qui est sur cette photo|où a été prise cette photo|qui a pris cette photo} ?",
    "{qui est|qui était|comment s'appelle} {cette personne|cet homme} sur {l'image|la photo} ?",
    "{qui est|qui était|comment s'appelle} cette femme sur {l'image|la photo} ?",
    "{qui est|qui voit-on|qui se trouve|qui a-t-on photographié} {sur l'image|sur la photo|ici} ?",
    "{qui est-ce|qui sont ces gens|c'est qui} {sur cette photo|sur cette image|sur la photo|} ?",
    "{quel âge a|où habite|que pense} {la personne|l'homme|la femme} sur {l'image|la photo} ?",
    "{à qui est|de quelle année est|quand a été prise|qui a vendu} {cette photo|cette image} ?",
    "{que dois-je manger|que dois-je porter|où partir en vacances} {|aujourd'hui }?",
    "{résous l'équation x + 1 = 3|démontre le théorème|calcule l'intégrale de sinus}",
    "{bla bla|azerty|hmm|lorem ipsum|tralala}",
)
DRAW = (
    "{dessine|peins|montre-moi|dessine-moi} $thing",
    "{dessine|peins} {une image de |un portrait de }$thing",
    "{peux-tu|pourrais-tu} {dessiner|peindre} $thing ?",
    "je {veux|voudrais} {une image|un dessin} de $thing",
    "{dessine|montre-moi} $object {à côté de|derrière|sur} $thing",
    "dessine $object et $thing",
    "{dessine|montre-moi} $number $many",
    "{peins|dessine-moi|je voudrais voir|une image de|un dessin de} $number $many",
    "{une photo de|une image avec|un dessin avec|je veux|il me faut} $number $many",
    "{peins|dessinez|montrez-moi} $object {à côté de|derrière|dans|avec} $thing",
    "{dessine|fais} un $noun $colour",
    "{dessine|montre-moi} $object sur un fond $colour",
    "{dessine ma maison|dessine-toi|dessine ma mère|dessine le passé|dessine-moi}",
)
PLAY = (
    "{joue|fais entendre|fais-moi entendre|je veux entendre} $oddsound",
    "{quel bruit fait|comment sonne} $oddsound ?",
    "{le son de|son :|le bruit de} $oddsound",
    "{joue|chante} {du jazz|une symphonie|une chanson d'amour|joyeux anniversaire}",
    "{lis à voix haute|dis bonjour à voix haute|parle}",
)
FILM = (
    "{filme|anime|fais un film de|fais une vidéo de} $object qui $oddmotion",
    "fais un film où $object $oddmotion",
    "{filme|anime|une vidéo de|fais un film de} $thing{| qui tourne| qui monte}",
    "{anime|filmez|je veux un film de} $thing {qui grandit|qui descend}",
    "{filme|fais une vidéo de} {un match|un mariage|une poursuite|la mer la nuit|mon chien}",
    "filme {deux|trois|cinq} $many {qui dansent|qui tournent|qui se battent}",
)
